"""The AWS APIs: the only client factory, tables, codecs and capacity rules."""

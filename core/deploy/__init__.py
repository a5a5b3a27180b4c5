"""Phased CloudFormation: plan, apply, verify, drift, destroy."""

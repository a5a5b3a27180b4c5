# The one-folder build in a small image: docker build -t ialctl .
#   docker run --rm -v ialctl:/var/lib/ialctl ialctl start
# The local endpoint ends with its container: give it one that lives on, or an endpoint of your own.

FROM python:3.11.13-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements requirements
RUN python -m venv .venv \
    && .venv/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/dev.lock
COPY . .
RUN .venv/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && .venv/bin/python -m scripts.building.binary --only folder

FROM debian:12.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/ialctl --shell /usr/sbin/nologin ialctl
COPY --from=build /src/dist/ialctl-dir /usr/lib/ialctl
RUN ln -s ../lib/ialctl/ialctl /usr/bin/ialctl
ENV IAL_STATE_DIR=/var/lib/ialctl/state \
    IAL_BACKUP_TO=/var/lib/ialctl/backups
USER 10001
WORKDIR /var/lib/ialctl
VOLUME /var/lib/ialctl
ENTRYPOINT ["/usr/bin/ialctl"]
CMD ["--help"]

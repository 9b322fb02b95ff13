# syntax=docker/dockerfile:1
# At the root, because the build needs the sources: `docker build -t sluice .` takes it as it is.
# How to run the image: docs/operate/README.md.

# Bases are pinned by version. For builds that are the same to the byte, add the digests your registry shows.
FROM rust:1.95.0-slim-bookworm AS build
# The allocator is built with it.
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# The caches stay with the builder, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin sluice \
    && install -D target/release/sluice /out/sluice \
    && install -d /out/state

FROM debian:12.11-slim
# For TLS to brokers and stores; the base has none.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/sluice /usr/local/bin/sluice
# A volume made from this directory belongs to the user below.
COPY --from=build --chown=65532:65532 /out/state /state

# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
# The project is mounted here, read-only; commands find it without `--project`.
WORKDIR /project
# What the embedded store remembers: `store: { embedded: { path: /state } }`.
VOLUME /state
ENTRYPOINT ["/usr/local/bin/sluice"]
CMD ["run"]

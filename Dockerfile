# A member in a container: built on Debian, with nothing in the end but the binary and its libraries.
#   docker compose up --build
FROM debian:bookworm-slim AS build
WORKDIR /src
# What the build needs, from debian/control, so that the list exists once; without the tests' tools.
COPY debian/control debian/control
RUN apt-get update -qq \
    && apt-get install -qq -y --no-install-recommends build-essential \
    && DEB_BUILD_PROFILES=nocheck apt-get build-dep -qq -y --no-install-recommends ./ \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN meson setup --buildtype=debugoptimized /build \
    && ninja -C /build conclave \
    && strip -o /conclave /build/conclave

FROM debian:bookworm-slim
RUN apt-get update -qq \
    && apt-get install -qq -y --no-install-recommends libuv1 libjansson4 libyaml-0-2 libsodium23 libssl3 libzstd1 libedit2 libncursesw6 \
        libnghttp2-14 libprotobuf-c1 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 4000 --home-dir /data --no-create-home conclave \
    && install -d -o conclave -g conclave /data
COPY --from=build /conclave /usr/local/bin/conclave
USER conclave
# Log, vote and identity; keep it in a volume, or the member is lost with its container.
WORKDIR /data
VOLUME /data
EXPOSE 4000
# The names of the chapter. HOST says that other containers may connect, so a secret is needed, too:
# CONCLAVE_CLUSTER_SECRET.
ENV NODE_ID=node-1 HOST=0.0.0.0 PORT=4000
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
    CMD conclave health "http://127.0.0.1:${PORT}"
# SIGTERM hands leadership over; the member ends within five seconds.
STOPSIGNAL SIGTERM
ENTRYPOINT ["conclave"]
CMD ["server"]

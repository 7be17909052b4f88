# syntax=docker/dockerfile:1
# ecompipe with a database of your own: the embedded server is left out, so it must be told where PostgreSQL is.

# The digests are those of all platforms, as docker-library/repo-info has them. They hold back corrections of the base as
# well: `docker buildx imagetools inspect node:22-alpine` shows the newest.
FROM node:22-alpine@sha256:0a7108bf6c7bf5de370ffb1a3ed6be93d405b43ff159f681a8d18c0e2bc2e402 AS build
WORKDIR /build
COPY package.json package-lock.json ./
# No install scripts: none is needed, and none is then trusted.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY bin bin
COPY feeds feeds
COPY page page
COPY sql sql
COPY src src
RUN npm run build
# The embedded server is an optional dependency.
RUN npm prune --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

# For `stream --engine spark`, and for the master and the workers of a cluster: docker build --target spark
FROM node:22-bookworm-slim@sha256:48e4b67d85f87bd551df43704e24d252f56cc5f8e9718841aace50f19948f0f9 AS spark
ENV NODE_ENV=production \
    SPARK_HOME=/opt/spark \
    ECOMPIPE_SPARK_JARS=/opt/ecompipe-spark \
    PROCESSING_PATH=/data/processing \
    ARCHIVE_PATH=/data/archive \
    QUARANTINE_PATH=/data/quarantine \
    CHECKPOINT_PATH=/data/checkpoints
RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless procps python3-venv \
    && rm -rf /var/lib/apt/lists/*
# py4j is for Python programs only.
RUN python3 -m venv /opt/pyspark \
    && /opt/pyspark/bin/pip install --no-cache-dir --no-deps "pyspark==4.1.4" \
    && ln -s /opt/pyspark/lib/python3*/site-packages/pyspark /opt/spark
RUN mkdir -p /data/incoming /data/processing /data/archive /data/quarantine /data/checkpoints /checkpoints \
    && chown -R node:node /data /checkpoints
WORKDIR /app
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
COPY --from=build /build/page page
COPY --from=build /build/sql sql
COPY --from=build /build/bin bin
COPY --from=build /build/feeds feeds
COPY spark spark
# Compiled and fetched here: a container then needs neither a compiler nor a network at its start.
RUN node bin/ecompipe.js spark prepare && rm -rf /root/.ivy2*
USER node
VOLUME /data
WORKDIR /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/bin/ecompipe.js"]
CMD ["--help"]

FROM node:22-alpine@sha256:0a7108bf6c7bf5de370ffb1a3ed6be93d405b43ff159f681a8d18c0e2bc2e402
LABEL org.opencontainers.image.title="ecompipe" \
      org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production \
    INCOMING_PATH=/data/incoming \
    PROCESSING_PATH=/data/processing \
    ARCHIVE_PATH=/data/archive \
    QUARANTINE_PATH=/data/quarantine \
    CHECKPOINT_PATH=/data/checkpoints
# A new volume takes over the owner of the directory that it is mounted on; /checkpoints is for an old .env (docs/migrating.md).
RUN mkdir -p /data/incoming /data/processing /data/archive /data/quarantine /data/checkpoints /checkpoints \
    && chown -R node:node /data /checkpoints
WORKDIR /app
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
COPY --from=build /build/page page
COPY --from=build /build/sql sql
COPY --from=build /build/bin bin
COPY --from=build /build/feeds feeds
USER node
VOLUME /data
WORKDIR /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/bin/ecompipe.js"]
CMD ["--help"]

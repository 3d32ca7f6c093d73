# Argo CD, and what it calls: git, kustomize, and redis for what its parts tell each other.
ARG BASE
FROM $BASE
USER 0
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
COPY bin/ /usr/local/bin/
USER 65534:65534
ENTRYPOINT ["argo-cd"]

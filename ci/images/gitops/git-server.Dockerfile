# A Git server. What is pushed to it is gone with the container.
ARG BASE
FROM $BASE
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
    && mkdir /srv/git \
    && chown 65534:65534 /srv/git
COPY bin/ /usr/local/bin/
USER 65534:65534
ENV HOME=/tmp
ENTRYPOINT ["git-server"]

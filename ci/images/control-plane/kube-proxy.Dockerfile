# kube-proxy calls programs of the system it runs in.
ARG DEBIAN
FROM $DEBIAN
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends conntrack iptables kmod nftables \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* \
       /usr/share/doc/* /usr/share/man/* /usr/share/info/* /usr/share/locale/*
COPY bin/ /usr/local/bin/

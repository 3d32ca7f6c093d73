# Prometheus and promtool of Debian's package, without what the package needs to show graphs. Debian builds them without
# the discovery of Kubernetes: it reads rules and scrapes what it is named, and no Prometheus Operator can use it.
ARG BASE
FROM $BASE AS package
WORKDIR /package
RUN apt-get update \
    && apt-get download prometheus \
    && dpkg-deb --extract prometheus_*.deb .

ARG BASE
FROM $BASE
COPY --from=package /package/usr/bin/ /usr/bin/
USER 65534:65534
ENTRYPOINT ["/usr/bin/prometheus"]

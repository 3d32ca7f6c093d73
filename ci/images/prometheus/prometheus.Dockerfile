# Prometheus and promtool of Debian's package, without what the package needs to show graphs.
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

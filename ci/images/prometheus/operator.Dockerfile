# The Prometheus Operator, and what it puts beside each Prometheus without saying which command: the config reloader.
FROM scratch
COPY bin/ /usr/local/bin/
USER 65534:65534
ENTRYPOINT ["/usr/local/bin/prometheus-config-reloader"]

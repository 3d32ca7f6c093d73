# The Prometheus Operator, and the config reloader that it starts beside each Prometheus, where it expects that to be.
FROM scratch
COPY bin/ /bin/
USER 65534:65534
ENTRYPOINT ["/bin/prometheus-config-reloader"]

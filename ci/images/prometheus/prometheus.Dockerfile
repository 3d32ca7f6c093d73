# Prometheus. What it writes goes to the volume that the Prometheus Operator gives it.
FROM scratch
COPY bin/ /bin/
USER 65534:65534
ENTRYPOINT ["/bin/prometheus"]

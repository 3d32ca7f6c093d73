# The two controllers of Flux that sync Git; each is started by its name.
FROM scratch
COPY bin/ /bin/
USER 65534:65534
ENV PATH=/bin

# A node of one Kubernetes version. The images of the control plane are loaded into it afterwards.
ARG NODE
FROM $NODE
COPY bin/ /usr/bin/
ARG VERSION
RUN echo -n "v$VERSION" > /kind/version

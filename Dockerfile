# The images of Refmill. `docker build -t refmill .` makes the platform's, with `--target runner` that of stages on a
# cluster which name no image of their own. podman and buildah build it, too; nothing of it needs a syntax of Docker's.
#
# BASE has Python 3.11 or newer, or PACKAGES name it: --build-arg BASE=debian:13-slim --build-arg
# PACKAGES="python3 python3-venv". Both images need Debian's apt-get.
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
ARG PACKAGES=""
RUN if [ -n "$PACKAGES" ]; then apt-get update && apt-get install -y --no-install-recommends $PACKAGES; fi
WORKDIR /opt/refmill
# The locked packages first: they change seldom, the sources often.
COPY requirements requirements
COPY tools/install.py tools/install.py
RUN python3 tools/install.py venv && .venv/bin/python tools/install.py packages
COPY . .
RUN .venv/bin/python tools/install.py project


FROM ${BASE} AS runner
ARG PACKAGES=""
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git $PACKAGES \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/refmill/.venv/bin/uv /usr/local/bin/uv
# The same number as the setting `argo_user`.
RUN groupadd --gid 8737 stage && useradd --uid 8737 --gid 8737 --home-dir /work --no-create-home stage
USER 8737:8737
WORKDIR /work


FROM ${BASE} AS platform
ARG PACKAGES=""
# bubblewrap boxes stages where the container may make namespaces; tini collects the processes that stages leave.
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap ca-certificates git tini $PACKAGES \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 8700 refmill \
    && useradd --uid 8700 --gid 8700 --home-dir /tmp --no-create-home refmill \
    && install -d -o 8700 -g 8700 -m 0700 /var/lib/refmill
COPY --from=build /opt/refmill /opt/refmill
ENV PATH=/opt/refmill/.venv/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    HOME=/tmp \
    REFMILL_DATA=/var/lib/refmill/data \
    REFMILL_HOST=0.0.0.0 \
    REFMILL_PORT=8700
USER 8700:8700
WORKDIR /tmp
VOLUME /var/lib/refmill
EXPOSE 8700
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "refmill"]
CMD ["up"]

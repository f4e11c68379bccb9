# docker build -t shalt .
# docker run --rm -p 127.0.0.1:8400:8400 -e SHALT_INSECURE=true -v shalt:/data shalt
#
# In a container shalt has to listen on all addresses, and whoever reaches it can make calls and
# read them. It therefore does not start until you say SHALT_INSECURE=true, which is right where the
# published port is, as above, one that only you can reach.

FROM python:3.13-slim AS build
WORKDIR /source
RUN python -m venv /opt/shalt
COPY requirements.lock ./
RUN /opt/shalt/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY shalt shalt
COPY proxy proxy
COPY storage storage
COPY exporters exporters
COPY importers importers
COPY review review
COPY migrations migrations
RUN /opt/shalt/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
COPY --from=build /opt/shalt /opt/shalt
RUN useradd --system --uid 10001 --home-dir /data --no-create-home shalt \
    && install --directory --owner shalt --group shalt --mode 700 /data
# By its number, which Kubernetes wants to see before it believes that it is not root.
USER 10001
WORKDIR /data
VOLUME /data
ENV PATH=/opt/shalt/bin:$PATH PYTHONUNBUFFERED=1 SHALT_DATA_DIR=/data SHALT_HOST=0.0.0.0
EXPOSE 8400
# Past any proxy that the container is told of: that leads out of the network, not to ourselves.
HEALTHCHECK --start-period=20s CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8400/healthz', timeout=3)"]
ENTRYPOINT ["shalt"]
CMD ["serve"]

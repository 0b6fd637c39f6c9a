# Debian's Prometheus, with what it is to look at and docker/alerts.yaml: profile `monitoring` of docker/compose.yaml. From the
# repository's root:
#   docker build -f docker/prometheus.Dockerfile -t ropewalk-prometheus .
ARG BASE=debian:bookworm-slim

FROM ${BASE}
COPY docker/install-deps /tmp/install-deps
RUN bash /tmp/install-deps monitoring && apt-get clean && rm -rf /var/lib/apt/lists/* /tmp/install-deps \
    && mkdir /data && chown prometheus /data
COPY docker/prometheus.yaml docker/alerts.yaml /etc/ropewalk/
RUN promtool check config /etc/ropewalk/prometheus.yaml
USER prometheus
EXPOSE 9090
HEALTHCHECK --interval=5s --timeout=3s --retries=6 CMD ["promtool", "query", "instant", "http://127.0.0.1:9090", "vector(1)"]
STOPSIGNAL SIGTERM
# (By default pages of any site that a browser of this machine shows may read all of it.)
ENTRYPOINT ["prometheus", "--config.file=/etc/ropewalk/prometheus.yaml", "--storage.tsdb.path=/data", "--web.listen-address=0.0.0.0:9090", "--web.cors.origin=http://127.0.0.1:9090"]
# What is older goes, and so does the oldest when all of it takes more.
CMD ["--storage.tsdb.retention.time=15d", "--storage.tsdb.retention.size=1GB"]

# A small system on musl, as Alpine is one: busybox and musl's loader, and no glibc.
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS debian
RUN apt-get update \
 && apt-get install --yes --no-install-recommends busybox-static musl \
 && mkdir -p /system/bin /system/lib /system/tmp \
 && cp /bin/busybox /system/bin/busybox \
 && cp -L /lib/ld-musl-*.so.1 /system/lib/ \
 && chmod 1777 /system/tmp

FROM scratch
COPY --from=debian /system /
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
CMD ["sh"]

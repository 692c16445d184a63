# The program alone, for workers against a NATS cluster and a Postgres: `flowgate up` needs the programs of a Postgres, which
# are not in here.

FROM golang:1.26 AS build
WORKDIR /out/state
WORKDIR /src
COPY go.mod go.sum ./
RUN ["go", "mod", "download"]
COPY cmd ./cmd
COPY configs ./configs
COPY messages ./messages
COPY pipelines ./pipelines
COPY worker ./worker
ARG VERSION=dev
ENV CGO_ENABLED=0 GOFLAGS="-trimpath '-ldflags=-s -w -X=main.version=${VERSION}'"
RUN ["go", "build", "-o", "/out/flowgate", "./cmd/flowgate"]

# CA certificates and time zones are in it; a shell is not.
FROM gcr.io/distroless/static-debian12
COPY --from=build /out/flowgate /flowgate
COPY --from=build --chown=65532:65532 /out/state /state
ENV FLOWGATE_STATE=/state
USER 65532:65532
ENTRYPOINT ["/flowgate"]
CMD ["--help"]

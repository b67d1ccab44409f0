#!/bin/sh
# Build the image with whichever builder works here, and say how large it is. What may be set:
#   BUILDER  docker, podman or buildah      BASE     the image to take Python from, where it is not the Containerfile's
#   IMAGE    its name; pillion              CA_FILE  certificates to trust while pip downloads; not in the image
#   EXTRAS   of pillion, such as vertex
set -eu
cd "$(dirname "$0")/.."
image=${IMAGE:-pillion}

works() { # a docker without its daemon is no builder
	command -v "$1" >/dev/null && case $1 in docker) docker info ;; *) "$1" version ;; esac >/dev/null 2>&1
}
if [ -z "${BUILDER:-}" ]; then
	for BUILDER in podman docker buildah none; do works "$BUILDER" && break; done
fi

set -- -t "$image" -f Containerfile
[ -z "${BASE:-}" ] || set -- "$@" --build-arg "BASE=$BASE"
[ -z "${EXTRAS:-}" ] || set -- "$@" --build-arg "EXTRAS=$EXTRAS"
[ -z "${CA_FILE:-}" ] || set -- "$@" --secret "id=ca,src=$CA_FILE"
archive=$(mktemp -d)
trap 'rm -rf "$archive"' EXIT
case $BUILDER in
docker)
	docker build "$@" .
	docker save -o "$archive/image.tar" "$image"
	;;
podman) # in docker's format, because OCI's has no HEALTHCHECK
	podman build --format docker "$@" .
	podman save -q -o "$archive/image.tar" "$image"
	;;
buildah)
	buildah build --format docker "$@" .
	buildah push -q "$image" "docker-archive:$archive/image.tar"
	;;
*)
	echo "no podman, no buildah, and no docker with a daemon" >&2
	exit 1
	;;
esac
echo "$image: $(gzip -c "$archive/image.tar" | wc -c) bytes compressed, $(wc -c <"$archive/image.tar") bytes unpacked"

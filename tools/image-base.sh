#!/bin/sh
# A base image out of Debian's packages, for a machine that reaches a Debian mirror and no registry of images.
# image-base.sh NAME: makes NAME, which `make image BASE=NAME` then builds on. Wants mmdebstrap and buildah, as root.
set -eu
name=${1:?usage: image-base.sh NAME}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates "${SUITE:-bookworm}" "$work/root.tar"
container=$(buildah from scratch)
buildah add --quiet "$container" "$work/root.tar" / >/dev/null
buildah commit --quiet --rm "$container" "$name"

#!/usr/bin/env bash
# An ARM64 Python with what the forms need, for tests/test_arm64.py: bash tests/arm64_root.sh FOLDER
# Needs Debian 12 with qemu-user-static; then JOBGEN_ARM64=FOLDER pytest tests/test_arm64.py
set -euo pipefail
root=$(realpath -m "$1")
packages=(libc6 libgcc-s1 libstdc++6 libgomp1 zlib1g libexpat1 libssl3 libffi8 libbz2-1.0 liblzma5
  libuuid1 libcrypt1 libpython3.11-minimal libpython3.11-stdlib python3.11-minimal python3.11)
wheels=(numpy==1.26.4 opencv-python-headless==4.10.0.84 pyyaml==6.0.3 MNN==3.6.1
  ncnn==1.0.20261020 onnxruntime==1.23.2)
mkdir -p "$root/debs" "$root/site"
dpkg --add-architecture arm64
apt-get update -qq
(cd "$root/debs" && apt-get download -qq "${packages[@]/%/:arm64}")
for deb in "$root"/debs/*.deb; do dpkg-deb -x "$deb" "$root"; done
python3 -m pip download -q --no-deps -d "$root/wheels" --only-binary=:all: --python-version 3.11 \
  --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64 \
  --platform manylinux_2_27_aarch64 --platform manylinux_2_34_aarch64 \
  "${wheels[@]}" flatbuffers protobuf coloredlogs humanfriendly packaging sympy mpmath
for wheel in "$root"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$root/site"; done

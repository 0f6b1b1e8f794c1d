#!/bin/sh
# Installs what containers/host-packages.txt (or the list that is named) lists and this host lacks: as root, or with sudo.
# Without either it prints the exact line to run, and stops.
set -eu
PATH=$PATH:/usr/sbin:/sbin # where dockerd is, and a user's PATH does not lead
list=$(sed 's/#.*//' "${1:-$(dirname "$0")/host-packages.txt}" | tr -s ' \n' ' ')
# An engine of another vendor is as good, and the two do not go together.
command -v dockerd >/dev/null && list=$(echo " $list " | sed 's/ docker\.io / /')
command -v apt-get >/dev/null || {
	echo "oomtrial: a Debian or Ubuntu host is needed (no apt-get here); install what containers/host-packages.txt lists" >&2
	exit 3
}
missing=
for package in $list; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing="$missing $package"
done
# Package lists are needed later too: kernel sources and the guest are fetched through apt.
lists_lacking=
apt-cache show docker.io >/dev/null 2>&1 || lists_lacking=yes
if [ -z "$missing" ] && [ -z "$lists_lacking" ]; then
	echo "oomtrial: all system packages are installed"
	exit 0
fi
if [ "$(id -u)" = 0 ]; then
	as_root=env
elif command -v sudo >/dev/null; then
	as_root=sudo
else
	echo "oomtrial: run this as root, then try again: apt-get update && apt-get install --no-install-recommends -y$missing" >&2
	exit 3
fi
echo "oomtrial: apt-get update"
$as_root apt-get -q update || { echo "oomtrial: apt-get update failed: check the network and /etc/apt" >&2; exit 4; }
if [ -n "$missing" ]; then
	echo "oomtrial: installing$missing"
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install --no-install-recommends -y $missing ||
		{ echo "oomtrial: apt could not install$missing: see above" >&2; exit 4; }
fi

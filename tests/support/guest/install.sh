# Makes the disk of tests/support/vm.py: install.sh DEBOOTSTRAP SUITE MIRROR FOLDER PACKAGE…
#
# Runs as root of a user namespace with a range of ids, with mounts and process numbers of its own.
set -eu
debootstrap=$1 suite=$2 mirror=$3 folder=$4
shift 4
root=$folder/root

container=lxc "$debootstrap" --variant=minbase "$suite" "$root" "$mirror"

inside() { chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/etc/systemd/system.conf.d"
printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/man/*' \
    'path-exclude=/usr/share/locale/*' >"$root/etc/dpkg/dpkg.cfg.d/small"
cp /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
rm -f "$root"/etc/apt/apt.conf.d/docker-*
# A small initramfs: what finds the disk, and no more.
echo 'MODULES=list' >"$root/etc/initramfs-tools/conf.d/small"
printf '%s\n' virtio_pci virtio_blk ext4 >"$root/etc/initramfs-tools/modules"
mount -t proc proc "$root/proc"
inside apt-get install -y --no-install-recommends \
    systemd systemd-sysv udev dbus dbus-user-session libpam-systemd kmod procps zstd \
    python3 python3-click python3-rich python3-yaml python3-zstandard python3-pyroute2 \
    python3-prctl python3-pytest python3-pytest-timeout python3-hypothesis \
    initramfs-tools linux-image-cloud-amd64 "$@"
umount "$root/proc"

inside useradd --create-home --shell /bin/bash dev
inside systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer getty@.service serial-getty@.service
inside systemctl set-default multi-user.target
echo debian >"$root/etc/hostname"
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
printf '[Manager]\nDefaultTimeoutStopSec=20s\n' >"$root/etc/systemd/system.conf.d/bounded.conf"
cat >"$root/etc/systemd/system/agent.service" <<'UNIT'
[Unit]
Description=Does what the host asks
After=systemd-user-sessions.service dbus.service systemd-logind.service
[Service]
RuntimeDirectory=agent
ExecStartPre=tar -xf /dev/vdb -C /run/agent
ExecStart=python3 -I /run/agent/agent.py
[Install]
WantedBy=multi-user.target
UNIT
inside systemctl enable agent.service

cp "$root"/boot/vmlinuz-* "$folder/vmlinuz"
cp "$root"/boot/initrd.img-* "$folder/initrd"
rm -rf "$root"/boot/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
# The devices are the system's own; no namespace of a user could make others.
rm -rf "$root/dev"
mkdir "$root/dev"
truncate -s 4G "$folder/disk"
PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -O ^has_journal -d "$root" "$folder/disk"
rm -rf "$root"

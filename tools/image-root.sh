#!/bin/sh
# The root filesystem of the image: image-root.sh VENV ROOT, in the build stage of the Containerfile.
# Trims VENV in place, and copies to ROOT the interpreter that it stands on, with each C library that one of them loads.
set -eu
venv=$1 root=$2
python=$(readlink -f "$venv/bin/python3")
stdlib=$("$python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
site=$("$venv/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# --- the venv: what runs, not what installs ---

rm -rf "$site"/pip "$site"/pip-* "$site"/setuptools "$site"/setuptools-* "$site"/pkg_resources \
	"$site"/_distutils_hack "$site"/distutils-precedence.pth
find "$venv/bin" -mindepth 1 ! -name pillion ! -name 'python*' -delete
find "$site" \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.c' -o -name '*.h' \) -delete
# botocore describes every service of AWS, 27 MB. Bedrock is what pillion calls; the rest is how credentials come.
for service in "$site"/botocore/data/*/; do
	case $(basename "$service") in bedrock | bedrock-runtime | sso | sso-oidc | sts) ;; *) rm -rf "$service" ;; esac
done
ln -sf "$python" "$venv/bin/python3"

# --- the interpreter ---

mkdir -p "$root$stdlib" "$root$(dirname "$python")" "$root/etc/ssl/certs" "$root/tmp" \
	"$root/var/lib/dpkg/status.d" "$root/var/lib/pillion"
cp "$python" "$root$python"
cp -a "$stdlib/." "$root$stdlib"
(
	cd "$root$stdlib"
	rm -rf config-* ensurepip idlelib lib2to3 pydoc_data site-packages dist-packages test tkinter turtledemo \
		sitecustomize.py EXTERNALLY-MANAGED
	cd lib-dynload
	rm -f _ctypes_test.* _curses* _dbm.* _gdbm.* _test* _tkinter.* _xx* nis.* ossaudiodev.* readline.* xx*
)
find "$root$stdlib" -depth \( -name __pycache__ -o -name tests \) -exec rm -rf {} +

# --- C libraries: into the one directory where the loader looks without being told ---

for directory in lib lib64; do # links into /usr, as the base has them
	if [ -L "/$directory" ]; then ln -s "usr/$directory" "$root/$directory"; fi
	mkdir -p "$root/usr/$directory"
done
loaded() { # what ldd finds for everything that may be a binary below these paths
	find "$@" -type f \( -name '*.so' -o -name '*.so.*' -o -perm -u+x \) -exec ldd {} + 2>/dev/null |
		sed -nE 's/^.* => (\/[^ ]+) \(0x.*/\1/p; s/^\t(\/[^ ]+) \(0x.*/\1/p' | grep -v "^$venv/" | sort -u
}
libraries=$(dirname "$(loaded "$root$python" | grep '/libc\.so\.6$')")
mkdir -p "$root$libraries"
for library in $(loaded "$root" "$venv") "$libraries/libgcc_s.so.1"; do # libgcc_s: loaded when a thread is cancelled
	case $library in
	*/ld-linux*) mkdir -p "$root$(dirname "$library")" && cp -L "$library" "$root$library" ;; # binaries name its path
	*) cp -L "$library" "$root$libraries" ;;
	esac
	# Where scanners look for a package that no package manager installed.
	package=$(dpkg -S "*/$(basename "$library")" 2>/dev/null | sed -n '1s/:.*//p')
	if [ -n "$package" ]; then dpkg -s "$package" >"$root/var/lib/dpkg/status.d/$package"; fi
done

# --- the rest of a system ---

cp -L /etc/os-release "$root/etc/os-release"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
echo 'root:x:0:0:root:/:/nonexistent
pillion:x:65532:65532:pillion:/var/lib/pillion:/nonexistent' >"$root/etc/passwd"
echo 'root:x:0:
pillion:x:65532:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
chmod 1777 "$root/tmp"
chown 65532:65532 "$root/var/lib/pillion"
chmod 700 "$root/var/lib/pillion"

# The root is read-only at run time, so this is the only time that anything is compiled; nothing is checked again.
"$python" -m compileall -q -s "$root" -p / --invalidation-mode unchecked-hash "$root$stdlib"
"$python" -m compileall -q --invalidation-mode unchecked-hash "$site"

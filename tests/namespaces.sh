# What does a neighbour in another network namespace reach of a pillion? Run inside `unshare -rn`: here is the neighbour,
# and a second namespace is pillion's, with a wire between the two. Prints what is reached, a line each.
set -eu
unshare -n sleep 60 &
house=$!
trap 'kill $house $pillion 2>/dev/null || true' EXIT
pillion=$house

until [ "$(readlink /proc/$house/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
ip link add here type veth peer name there netns $house
ip address add 10.99.0.1/24 dev here
ip link set here up
nsenter -t $house -n sh -c 'ip link set lo up; ip address add 10.99.0.2/24 dev there; ip link set there up'

export PILLION_LISTEN=127.0.0.1:7455 PILLION_METRICS_ADDRESS=0.0.0.0:9455
nsenter -t $house -n "$PYTHON" -m proxy serve >"$SCRATCH/out" 2>"$SCRATCH/err" &
pillion=$!
nsenter -t $house -n "$PYTHON" -m proxy wait

"$PYTHON" - <<'END'
from http.client import HTTPConnection

def asked(port, path):
    connection = HTTPConnection("10.99.0.2", port, timeout=5)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status

for path in ("metrics", "readiness", "liveness"):
    print(path, asked(9455, f"/{path}"))
print("models", asked(9455, "/v1/models"))
try:
    print("apps", asked(7455, "/liveness"))
except ConnectionRefusedError:
    print("apps refused")
END
env -u PILLION_METRICS_ADDRESS nsenter -t $house -n "$PYTHON" -m proxy healthcheck && echo "apps at home 200"

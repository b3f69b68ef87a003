#!/bin/sh
# Installs Headwater below $HEADWATER_HOME and lays the project's folder out below $HEADWATER_STATE.
set -eu
home="${HEADWATER_HOME:-/opt/headwater}"
state="${HEADWATER_STATE:-/var/lib/headwater}"
settings="${HEADWATER_SETTINGS:-/etc/headwater/headwater.toml}"
python3 -m venv "$home"
"$home/bin/python" -m pip install --quiet --disable-pip-version-check {{ package }}
{%- if code %}
[ -d "$state/project" ] || git clone --quiet -- {{ code }} "$state/project"
{%- endif %}
mkdir -p "$state/project"
ln -sfn "$settings" "$state/project/headwater.toml"
if id headwater >/dev/null 2>&1; then chown -R headwater: "$state"; fi
"$home/bin/hw" --version

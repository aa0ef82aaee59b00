#!/usr/bin/env bash
# outsider.sh: checks a model version as docs/ots-verification.md tells an outsider to; exit 3: its proof is pending.
set -euo pipefail
version=$1 certificate=$2 weights=$3 owm_ots=$4 # the version's address; the file at hand
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

curl -fsS "$version/manifest" -o manifest.json
curl -fsS "$version/ots" -o model.safetensors.ots

# The manifest is the coordinator's.
check_signature() { # of a manifest
    jq -r .coordinator_signature "$1" | cut -d: -f2 | base64 -d >signature
    { printf 'OWM-SIG-1\014owm model v1'; jq -cSj 'del(.coordinator_signature)' "$1"; } |
        openssl dgst -sha512 -binary >digest
    openssl pkeyutl -verify -pubin -inkey coordinator.pub -rawin -in digest -sigfile signature
}
openssl x509 -in "$certificate" -pubkey -noout >coordinator.pub
check_signature manifest.json >/dev/null || { echo "the manifest is not signed by the coordinator"; exit 1; }
jq -c '.round = 77' manifest.json >forged.json
if check_signature forged.json >/dev/null; then echo "a forged manifest passes"; exit 1; fi

# The weights are what it names.
cp "$weights" model.safetensors
hash=$(jq -r '.sub_models["owm-lm"].sha256' manifest.json)
echo "$hash  model.safetensors" | sha256sum --check --quiet

# And so is what the proof is of; the last word is owm-ots'.
test "$("$owm_ots" info --json model.safetensors.ots | jq -r .digest)" = "$hash"
exec "$owm_ots" verify model.safetensors.ots

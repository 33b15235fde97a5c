#!/bin/sh
# Runs Chat.java with the SDKs' JARS, in a Java that trusts the CA as `cavansite trust` tells.
set -e
cavansite trust --java trust.p12 --ca "$NODE_EXTRA_CA_CERTS" >/dev/null
JAVA_TOOL_OPTIONS="-Djavax.net.ssl.trustStore=trust.p12 -Djavax.net.ssl.trustStorePassword=changeit"
export JAVA_TOOL_OPTIONS
exec java -cp "$CAVANSITE_JARS/*" "$(dirname "$0")/Chat.java" "$@"

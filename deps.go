//go:build deps

// Package permanode holds, while they are being built in, the modules that code under way needs.
package permanode

import (
	_ "github.com/blevesearch/bleve/v2"
	_ "github.com/eclipse/paho.mqtt.golang"
	_ "github.com/gorilla/websocket"
	_ "github.com/mochi-mqtt/server/v2"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/prometheus/client_golang/prometheus/testutil"
	_ "golang.org/x/text/unicode/norm"
)

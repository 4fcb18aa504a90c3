package main

import "testing"

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:14265":              "http://127.0.0.1:14265",
		"http://user:hunter2@node:1/a":        "http://user:xxxxx@node:1/a",
		"http://hunter2@node:1":               "http://xxxxx@node:1",
		"https://node/api?token=hunter2&a=b":  "https://node/api?a=xxxxx&token=xxxxx",
		"https://node/api?hunter2;x#hunter2":  "https://node/api?xxxxx=",
		"https://node/api?hunter2":            "https://node/api?xxxxx=",
		"https://node/#hunter2":               "https://node/",
		"127.0.0.1:8080":                      "127.0.0.1:8080",
		"hunter2@node:8080":                   "(unreadable URL)",
		"http://node:%zz hunter2":             "(unreadable URL)",
		"/var/lib/iota/ingestion":             "/var/lib/iota/ingestion",
		"ws://user:hunter2@node/api/mqtt/v1":  "ws://user:xxxxx@node/api/mqtt/v1",
		"https://node/tok3nABCDEFGH/api/v1":   "https://node/xxxxx/api/v1",
		"grpc://127.0.0.1:50051":              "grpc://127.0.0.1:50051",
		"":                                    "",
		"https://node/?a=hunter2&a=hunter2":   "https://node/?a=xxxxx&a=xxxxx",
		"https://user:@node/?%zz=1&b=hunter2": "https://user:xxxxx@node/?b=xxxxx",
	} {
		if got := redact(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

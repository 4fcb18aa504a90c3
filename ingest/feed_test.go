package ingest

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestFeedSentence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins 2000-01-01 00:00:00 UTC
		m := NewFeedMeter("node-a-mqtt", "ws://node-a:14265/api/mqtt/v1")
		is := func(want string) {
			t.Helper()
			if got := m.Status().Sentence(); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		}
		is("node-a-mqtt: never connected")
		m.Down("connection refused\nby somebody")
		is("node-a-mqtt: never connected (connection refused; by somebody)")
		m.Up()
		is("node-a-mqtt: connected since 00:00:00 UTC, no unit rung yet, 0 messages, none dropped, last problem: connection refused; by somebody")
		for range 12345 {
			m.Message(10)
		}
		m.Rang(4711)
		time.Sleep(time.Second)
		is("node-a-mqtt: connected since 00:00:00 UTC, unit 4711 rung 1 s ago, 12,345 messages, none dropped, last problem: connection refused; by somebody")
		time.Sleep(time.Minute)
		m.Drop("the queue is full")
		is("node-a-mqtt: connected since 00:00:00 UTC, unit 4711 rung 61 s ago, 12,345 messages, 1 dropped, silent for 61 s, last problem: the queue is full")
		m.Down("close 1006")
		m.Down("")
		time.Sleep(time.Hour)
		is("node-a-mqtt: not connected since 00:01:01 UTC (close 1006), unit 4711 rung 61 min ago, 12,345 messages, 1 dropped")
		m.Up()
		m.Down("again")
		m.Up()
		m.Rang(4000) // a node that comes back behind
		is("node-a-mqtt: connected since 01:01:01 UTC, unit 4000 rung 0 s ago, 12,345 messages, 1 dropped, 2 reconnects, last problem: again")
		time.Sleep(72 * time.Hour)
		is("node-a-mqtt: connected since 2000-01-01 01:01:01 UTC, unit 4000 rung 3 days ago, 12,345 messages, 1 dropped, silent for 3 days, 2 reconnects, last problem: again")
		if s := m.Status(); s.Reconnects != 2 || s.Bytes != 123450 || s.Dropped != 1 || s.Address != "ws://node-a:14265/api/mqtt/v1" {
			t.Errorf("%+v", s)
		}
	})
}

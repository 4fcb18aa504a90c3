package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"permanode/internal/race"
	"permanode/query/openapitest"
)

// What a service over recorded networks of two eras answers to a crowd, and sends over a WebSocket, is as the description
// has it.
func TestRecordedAnswersAreDescribed(t *testing.T) {
	if race.Enabled {
		t.Skip("the same handlers are asked under the race detector in package query/api")
	}
	spec, s := openapitest.Load(t), recordedService(t)
	t.Run("crowd", func(t *testing.T) { askCrowd(t, spec, s) })
	t.Run("websocket", func(t *testing.T) { askSocket(t, spec, s) })
	s.end(t, syscall.SIGTERM)
	if said := s.text(); strings.Contains(said, "panic") || strings.Contains(said, "request failed") {
		t.Errorf("the service logged\n%s", said)
	}
}

// recordedValues are values of parameters that mean something in the recordings, by name.
func recordedValues(t *testing.T, s *runningService) map[string][]string {
	t.Helper()
	values := map[string][]string{
		"net": {"tangle", "mini"}, "network": {"tangle", "mini"}, "seq": {"0", "1", "5", "12", "75", "81", "115"}, "tag": {"INVOICE", "0x", "0x000102ff", "計測"}, "limit": {"1", "3", "100"},
		"q":     {"", "tag:INVOICE", "battery", "kind:transaction state:conflicting", "kind:unit", "event:*", "unit:80..81", "currency=CHF OR 請求書", "NOT tag:INVOICE unit:..3"},
		"order": {"newest", "oldest"}, "facets": {"tag,kind", "state,day,type,event,function"}, "at": {"unit:81", "2026-11-24", "2025"}, "from": {"unit:3", "2026"}, "to": {"unit:90", "2026-11-23T06:38:00Z"},
		"asset": {"coins"}, "explain": {"true"}, "after": {"tangle/80/3", "mini/3/0"}, "day": {time.Now().UTC().Format(time.DateOnly)},
		"unit format": {"raw", "json"}, "record format": {"raw", "json"}, "export format": {"csv", "ndjson"}, "statement format": {"json", "csv", "html"},
	}
	c := s.client(t)
	for network, last := range map[string]uint64{"tangle": 81, "mini": 12} {
		for seq := last - 2; seq <= last; seq++ {
			for row, err := range c.UnitRecords(t.Context(), network, seq) {
				if err != nil {
					t.Fatal(err)
				}
				record, err := c.Record(t.Context(), network, row.ID)
				if err != nil {
					t.Fatal(err)
				}
				values["id"] = append(values["id"], row.ID)
				values["addr"] = append(values["addr"], row.Addresses...)
				for _, p := range record.Payloads {
					values["payload"] = append(values["payload"], p.SHA256)
				}
				for _, token := range record.Tokens {
					values["asset"] = append(values["asset"], token.ID)
				}
			}
		}
	}
	values["body"] = []string{fmt.Sprintf(`{"ids":[%q,%q,"nonsense",%q]}`, values["id"][0], values["id"][len(values["id"])-1], values["addr"][0]), `{"ids":[]}`, `{"ids":{}}`}
	return values
}

func askCrowd(t *testing.T, spec *openapitest.Spec, s *runningService) {
	values := recordedValues(t, s)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r, seen := rand.New(rand.NewPCG(seed, 0)), map[string]map[int]int{}
	for range 40 {
		for _, op := range spec.Operations {
			if op.Class == "stream" {
				continue
			}
			drawn := op.Draw(r, values)
			req, err := http.NewRequestWithContext(t.Context(), drawn.Method, s.api+drawn.Target, strings.NewReader(drawn.Body))
			if err != nil {
				t.Fatal(err)
			}
			if drawn.Body != "" {
				req.Header.Set("Content-Type", "application/json")
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			for name, values := range res.Trailer {
				res.Header[name] = values
			}
			if err == nil {
				err = spec.Check(drawn.Method, req.URL, res.StatusCode, res.Header, body)
			}
			if err != nil {
				t.Errorf("%s %s %s: %v", drawn.Method, drawn.Target, drawn.Body, err)
			}
			if seen[op.ID] == nil {
				seen[op.ID] = map[int]int{}
			}
			seen[op.ID][res.StatusCode]++
		}
	}
	for id, of := range seen {
		if of[http.StatusOK] == 0 {
			t.Errorf("%s never answered 200: %v", id, of)
		}
	}
}

// askSocket has one good subscription, a bad one, and frames that are none.
func askSocket(t *testing.T, spec *openapitest.Spec, s *runningService) {
	conn, res, err := websocket.DefaultDialer.DialContext(t.Context(), strings.Replace(s.api, "http", "ws", 1)+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	defer conn.Close()
	ask, message := spec.Schemas["WebSocketAsk"], spec.Schemas["WebSocketMessage"]
	send := func(frame string, good bool) {
		t.Helper()
		if err := valid(ask, []byte(frame)); (err == nil) != good {
			t.Errorf("%s: %v", frame, err)
		}
		if err := conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	until := func(kind string) {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		for {
			_, frame, err := conn.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			if err := valid(message, frame); err != nil {
				t.Errorf("%.300s: %v", frame, err)
			}
			if bytes.Contains(frame, []byte(`"type":"`+kind+`"`)) {
				return
			}
		}
	}
	send(`{"subscribe":{"id":"a","q":"tag:INVOICE","from":"oldest"}}`, true)
	until("start")
	until("record")
	send(`{"subscribe":{"id":"b","q":"colour:red"}}`, true)
	until("error")
	send(`{"subscribe":{"id":"c"},"x":1}`, false)
	until("error")
	send(`{"subscribe":{"id":"d","from":"yesterday"}}`, false)
	until("error")
	send(`{"unsubscribe":{"id":"a"}}`, true)
	until("end")
}

func valid(s *jsonschema.Schema, text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

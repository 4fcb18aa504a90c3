package iotareplay

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/mr-tron/base58"

	"permanode/ledger/rebased"
)

const bcsType = "application/bcs"

// REST answers as a node's REST API: certified summaries and full checkpoints by number.
func (n *Node) REST() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/checkpoints/{seq}", func(w http.ResponseWriter, r *http.Request) { n.rest(w, r, false) })
	mux.HandleFunc("GET /api/v1/checkpoints/{seq}/full", func(w http.ResponseWriter, r *http.Request) { n.rest(w, r, true) })
	return mux
}

func (n *Node) rest(w http.ResponseWriter, r *http.Request, full bool) {
	lowest, tip, _ := n.span()
	h := w.Header()
	h.Set("X-Iota-Chain-Id", base58.Encode(n.chain.genesis()))
	h.Set("X-Iota-Chain", "unknown")
	h.Set("X-Iota-Epoch", strconv.FormatUint(n.chain.unit(tip).summary.Epoch, 10))
	h.Set("X-Iota-Checkpoint-Height", strconv.FormatUint(tip, 10))
	h.Set("X-Iota-Lowest-Available-Checkpoint", strconv.FormatUint(lowest, 10))
	h.Set("X-Iota-Lowest-Available-Checkpoint-Objects", strconv.FormatUint(lowest, 10))
	h.Set("X-Iota-Server", "iota-node/test")
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	switch {
	case err != nil:
		http.Error(w, "not a checkpoint", http.StatusBadRequest)
		return
	case seq < lowest:
		http.Error(w, "Old checkpoints have been pruned", http.StatusGone)
		return
	case seq > tip:
		http.Error(w, "Checkpoint not found", http.StatusNotFound)
		return
	}
	u := n.chain.unit(seq)
	body := u.chk
	if !full {
		certified, _, _, err := rebased.ParseHead(u.head)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		body = append(append([]byte{}, certified.Header...), certified.Auth...)
	}
	write(w, bcsType, body)
}

func write(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client went away: nobody is left to tell
}

// Live answers as a live store: <number>.chk, each with its encoding byte.
func (n *Node) Live() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lowest, tip, _ := n.span()
		number, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/"), ".chk")
		seq, err := strconv.ParseUint(number, 10, 64)
		if !ok || err != nil || seq < lowest || seq > tip {
			http.NotFound(w, r)
			return
		}
		write(w, "application/octet-stream", append([]byte{1}, n.chain.unit(seq).chk...))
	})
}

// JSONRPC answers the questions that a trust file needs, as a node's JSON-RPC API: committee, newest checkpoint, chain.
func (n *Node) JSONRPC() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params []any           `json:"params"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer := map[string]any{"jsonrpc": "2.0", "id": q.ID}
		if result, err := n.rpc(q.Method, q.Params); err != nil {
			answer["error"] = map[string]any{"code": -32602, "message": err.Error()}
		} else {
			answer["result"] = result
		}
		body, err := json.Marshal(answer)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		write(w, "application/json", body)
	})
}

func (n *Node) rpc(method string, params []any) (any, error) {
	_, tip, _ := n.span()
	switch method {
	case "iota_getChainIdentifier":
		return hex.EncodeToString(n.chain.genesis()[:4]), nil
	case "iota_getLatestCheckpointSequenceNumber":
		return strconv.FormatUint(tip, 10), nil
	case "iotax_getCommitteeInfo":
		epoch := n.chain.unit(tip).summary.Epoch
		if len(params) > 0 && params[0] != nil {
			var err error
			if epoch, err = strconv.ParseUint(fmt.Sprint(params[0]), 10, 64); err != nil {
				return nil, fmt.Errorf("epoch: %w", err)
			}
		}
		members := n.chain.Committee(epoch)
		if members == nil {
			return nil, fmt.Errorf("could not find committee of epoch %d", epoch)
		}
		list := make([][2]string, len(members))
		for i := range members {
			list[i] = [2]string{base64.StdEncoding.EncodeToString(members[i].Key[:]), strconv.FormatUint(members[i].Power, 10)}
		}
		return map[string]any{"epoch": strconv.FormatUint(epoch, 10), "validators": list}, nil
	}
	return nil, fmt.Errorf("method %q not found", method)
}

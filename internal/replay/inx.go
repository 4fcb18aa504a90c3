package replay

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"permanode/internal/wire/frame"
	"permanode/internal/wire/inx"
)

// INX is a node's INX interface over a recording: the same units as over REST, whole cones in white-flag order, and a
// stream that follows the node's tip. It is safe for concurrent use.
type INX struct {
	node   *Node
	config *inx.Configuration
	params *inx.Parameters

	mu    sync.Mutex // guards what follows
	rules []INXRule
	rng   *rand.Rand
}

// NewINX returns the INX interface of n. It fails if the recording does not say how its node was configured.
func NewINX(n *Node) (*INX, error) {
	c, p, err := n.rec.configuration()
	if err != nil {
		return nil, err
	}
	return &INX{node: n, config: c, params: p}, nil
}

// SetFaults sets what goes wrong from now on, reproducible by its seed when asked by one client at a time. The first
// rule that fits an answer decides; without rules the node is honest.
func (x *INX) SetFaults(seed uint64, rules ...INXRule) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rules, x.rng = rules, rand.New(rand.NewPCG(seed, 0))
}

// spoil applies the first rule that fits.
func (x *INX) spoil(a *INXAnswer) {
	x.mu.Lock()
	var do INXFault
	var rng *rand.Rand
	for i := range x.rules {
		r := &x.rules[i]
		if r.fits(a) && (r.P == 0 || x.rng.Float64() < r.P) {
			do, rng = r.Do, rand.New(rand.NewPCG(x.rng.Uint64(), 0))
			break
		}
	}
	x.mu.Unlock()
	if do != nil {
		do(a, rng)
	}
}

// INXServer is a running interface.
type INXServer struct {
	server *grpc.Server
	lis    *icyListener
	done   chan struct{} // closed when nothing is served any more
}

// Serve answers on a listener until Stop. addr is host:port; port 0 is any free one.
func (x *INX) Serve(addr string) (*INXServer, error) {
	lis, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &INXServer{lis: &icyListener{Listener: lis, frozen: make(chan struct{})}, done: make(chan struct{})}
	s.server = grpc.NewServer(
		grpc.ForceServerCodecV2(frame.Codec{}), grpc.ConnectionTimeout(5*time.Second), grpc.WaitForHandlers(true),
		// As the node has them.
		grpc.MaxConcurrentStreams(10),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 5 * time.Second}),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { return x.handle(stream) }))
	go func() {
		defer close(s.done)
		_ = s.server.Serve(s.lis) // clients see why it ends
	}()
	return s, nil
}

// Addr is host:port.
func (s *INXServer) Addr() string { return s.lis.Addr().String() }

// Stop breaks all connections, as when the node ends, and waits for the end of all calls. It may be called
// again.
func (s *INXServer) Stop() {
	s.server.Stop()
	<-s.done
}

// Freeze makes the server half open, now and for connections to come: they stand, and nothing passes any more in either
// direction. Only Stop ends that.
func (s *INXServer) Freeze() { s.lis.freeze() }

// inxCall is one call under way.
type inxCall struct {
	inx    *INX
	method string
	stream grpc.ServerStream
}

func (x *INX) handle(stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	var question frame.Bytes
	if err := stream.RecvMsg(&question); err != nil {
		return err
	}
	c := &inxCall{inx: x, method: method, stream: stream}
	switch method {
	case inx.ReadNodeConfiguration:
		return c.send(0, [][]byte{x.config.Append(nil)}, nil)
	case inx.ReadNodeStatus:
		return c.status()
	case inx.ReadBlock, inx.ReadBlockMetadata:
		return c.block(question)
	case inx.ListenToConfirmedMilestones:
		return c.follow(question)
	case inx.ReadMilestone, inx.ReadMilestoneCone, inx.ReadMilestoneConeMetadata, inx.ReadProtocolParameters:
		return c.milestone(question)
	}
	return status.Errorf(codes.Unimplemented, "unknown method %s", method)
}

// send sends an answer, as the faults have it.
func (c *inxCall) send(seq uint64, messages [][]byte, err error) error {
	a := &INXAnswer{Method: c.method, Seq: seq, Messages: messages, Err: err}
	a.Other = func(seq uint64) [][]byte {
		other, err := c.inx.about(c.method, seq)
		if err != nil {
			return nil
		}
		return other
	}
	c.inx.spoil(a)
	for _, m := range a.Messages {
		if err := c.stream.SendMsg(frame.Bytes(m)); err != nil {
			return err
		}
	}
	for a.Trickle != nil {
		if err := c.stream.SendMsg(frame.Bytes(a.Trickle())); err != nil {
			return err
		}
	}
	if a.Stall {
		<-c.stream.Context().Done()
		return c.stream.Context().Err()
	}
	return a.Err
}

func (c *inxCall) status() error {
	tip, pruned, _ := c.inx.node.span()
	m := &inx.Milestone{Info: &inx.MilestoneInfo{Index: uint32(tip)}}
	if tip > pruned {
		var err error
		if m, err = c.inx.node.rec.milestone(tip); err != nil || m == nil {
			return c.send(0, nil, status.Errorf(codes.Internal, "milestone %d: %v", tip, err))
		}
	}
	s := inx.Status{
		Healthy: false, Synced: true, AlmostSynced: true, // a node without peers is never healthy
		Latest: m, Confirmed: m, Parameters: c.inx.params,
		TanglePruned: uint32(pruned), MilestonesPruned: uint32(pruned), LedgerPruned: uint32(pruned), LedgerIndex: uint32(tip),
	}
	return c.send(0, [][]byte{s.Append(nil)}, nil)
}

func (c *inxCall) block(question []byte) error {
	raw, err := inx.ParseWrapped(question)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	var id [32]byte // shorter ones are padded
	copy(id[:], raw)
	n := c.inx.node
	tip, pruned, _ := n.span()
	cones, err := n.rec.cones()
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	by := cones.by[id]
	var message []byte
	if c.method == inx.ReadBlock {
		raw, err = n.rec.block(id)
		if raw != nil {
			message = inx.AppendWrapped(nil, raw)
		}
	} else {
		var m *inx.Metadata
		if m, err = n.rec.inxMetadata(id); m != nil {
			if by > tip {
				m = &inx.Metadata{ID: m.ID, Parents: m.Parents, Solid: true}
			}
			message = m.Append(nil)
		}
	}
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	if message == nil || by != 0 && by <= pruned {
		what := "block"
		if c.method == inx.ReadBlockMetadata {
			what = "block metadata"
		}
		return c.send(0, nil, status.Errorf(codes.NotFound, "%s 0x%x not found", what, id))
	}
	return c.send(by, [][]byte{message}, nil)
}

func (c *inxCall) milestone(question []byte) error {
	req, err := inx.ParseMilestoneRequest(question)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	seq := uint64(req.Index)
	if seq == 0 && req.ID != nil {
		seq = c.inx.find(req.ID)
	} else if seq == 0 && c.method == inx.ReadProtocolParameters {
		seq = c.inx.node.Tip()
	}
	messages, err := c.inx.about(c.method, seq)
	return c.send(seq, messages, err)
}

// find returns the unit with an id, 0 if there is none.
func (x *INX) find(id []byte) uint64 {
	tip, pruned, _ := x.node.span()
	for seq := pruned + 1; seq <= tip; seq++ {
		if m, err := x.node.rec.milestone(seq); err == nil && m != nil && string(m.Info.ID) == string(id) {
			return seq
		}
	}
	return 0
}

// about returns the honest messages of an answer about unit seq.
func (x *INX) about(method string, seq uint64) ([][]byte, error) {
	tip, pruned, _ := x.node.span()
	if method == inx.ReadProtocolParameters { // they do not change in a recording
		return [][]byte{x.params.Append(nil)}, nil
	}
	m, err := x.node.rec.milestone(seq)
	switch {
	case err != nil:
		return nil, status.Error(codes.Internal, err.Error())
	case m == nil || seq > tip || seq <= pruned:
		return nil, status.Error(codes.NotFound, "milestone not found")
	}
	var messages [][]byte
	switch method {
	case inx.ReadMilestone:
		messages = [][]byte{m.Append(nil)}
	case inx.ListenToConfirmedMilestones:
		messages = [][]byte{(&inx.Confirmed{Milestone: m, Parameters: x.params}).Append(nil)}
	case inx.ReadMilestoneCone, inx.ReadMilestoneConeMetadata:
		if messages, err = x.node.rec.cone(seq, method == inx.ReadMilestoneCone); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return messages, nil
}

// follow sends confirmed milestones in order, and goes on as the tip moves. A tip that goes back and comes again is
// not sent twice.
func (c *inxCall) follow(question []byte) error {
	req, err := inx.ParseRangeRequest(question)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	tip, pruned, _ := c.inx.node.span()
	next, end := uint64(req.Start), uint64(req.End)
	switch {
	case next == 0:
		next = tip + 1
	case next <= pruned:
		return c.send(0, nil, status.Errorf(codes.InvalidArgument,
			"given startMilestoneIndex %d is older than the current pruningIndex %d", next, pruned))
	}
	for ; end == 0 || next <= end; next++ {
		if err := c.await(next); err != nil {
			return err
		}
		messages, err := c.inx.about(c.method, next)
		if err := c.send(next, messages, err); err != nil {
			return err
		}
	}
	return nil
}

// await waits until the node's tip is seq or more.
func (c *inxCall) await(seq uint64) error {
	for {
		tip, _, moved := c.inx.node.span()
		if tip >= seq {
			return nil
		}
		select {
		case <-moved:
		case <-c.stream.Context().Done():
			return c.stream.Context().Err()
		}
	}
}

// icyListener makes connections that can freeze.
type icyListener struct {
	net.Listener
	once   sync.Once
	frozen chan struct{} // closed when they do
}

func (l *icyListener) freeze() { l.once.Do(func() { close(l.frozen) }) }

func (l *icyListener) cold() bool {
	select {
	case <-l.frozen:
		return true
	default:
		return false
	}
}

func (l *icyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &icyConn{c, l}, nil
}

// icyConn swallows all that passes once its listener is frozen.
type icyConn struct {
	net.Conn
	lis *icyListener
}

func (c *icyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.lis.cold() {
		return n, err
	}
	for err == nil {
		_, err = c.Conn.Read(b)
	}
	if !errors.Is(err, net.ErrClosed) { // the peer gave it up: a half-open connection does not tell
		return 0, net.ErrClosed
	}
	return 0, err
}

func (c *icyConn) Write(b []byte) (int, error) {
	if c.lis.cold() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

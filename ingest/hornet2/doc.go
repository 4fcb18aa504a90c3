// Package hornet2 asks Hornet 2.x nodes over their REST core API v2 (TIP-25): raw units and records,
// and metadata as claims. It believes nothing and proves nothing; it bounds what it reads, in bytes
// and in time, and refuses whatever does not have the form that was asked for.
//
// Habits of this node software that are met here: pruned and unknown look alike (404) and are told
// apart by pruningIndex; isHealthy stays false on a node without peers and is not looked at; a unit
// may be served by index before it is confirmed, so the newest is confirmedMilestone.
//
// [MQTT] listens to what they publish (TIP-28): a bell and a cache. Its habits: no order between topics, doubles,
// messages dropped in silence for slow readers, nothing of what was published while nobody listened, silence on a
// connection that stands, and only exact topic names make it publish.
//
// [INX] asks the same nodes over INX (gRPC), which gives whole cones in white-flag order and tells the coordinator's keys.
// More habits: index 0 asks for an id, so it is never asked; a unit that is known and not confirmed yet is an invalid
// argument; a connection takes ten streams; clients that ping more often than every five minutes are thrown out, so
// connections that are half open are found by deadlines alone; when the node ends, so does everything around it.
package hornet2

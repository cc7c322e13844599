// A member of a group on franz-go: franz-go BOOTSTRAP GROUP TOPIC [KEY=VALUE...]
//
// It says on its standard output what becomes of it (../members/README.md), and leaves the group when its standard input
// ends.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const commitEvery = 300 * time.Millisecond

var output sync.Mutex

func say(format string, arguments ...any) {
	output.Lock()
	defer output.Unlock()
	fmt.Printf("%d %s\n", time.Now().UnixMicro(), fmt.Sprintf(format, arguments...))
}

func main() {
	bootstrap, group, topic := os.Args[1], os.Args[2], os.Args[3]
	ctx, leave := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		leave()
	}()
	event := func(name string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
			if name == "revoked" {
				if err := client.CommitUncommittedOffsets(ctx); err != nil {
					say("error commit: %v", err)
				}
			}
			_, generation := client.GroupMetadata()
			numbers := make([]string, 0, len(partitions[topic]))
			for _, partition := range partitions[topic] {
				numbers = append(numbers, strconv.Itoa(int(partition)))
			}
			say("%s %d %s", name, generation, strings.Join(numbers, ","))
		}
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(bootstrap),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.OnPartitionsAssigned(event("assigned")),
		kgo.OnPartitionsRevoked(event("revoked")),
		kgo.OnPartitionsLost(event("lost")),
	}
	for _, setting := range os.Args[4:] {
		options = append(options, option(strings.SplitN(setting, "=", 2))...)
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		say("error %v", err)
		os.Exit(1)
	}
	committed := time.Now()
	for ctx.Err() == nil {
		poll, done := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := client.PollFetches(poll)
		done()
		fetches.EachPartition(func(partition kgo.FetchTopicPartition) {
			if records := partition.Records; len(records) > 0 {
				first, last := records[0].Offset, records[len(records)-1].Offset
				if last-first+1 != int64(len(records)) {
					say("error records are missing between %d and %d", first, last)
				}
				say("read %d %d %d", partition.Partition, first, last)
			}
		})
		if time.Since(committed) > commitEvery {
			if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
				say("error commit: %v", err)
			}
			committed = time.Now()
		}
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
	say("left")
}

// The settings that the Java client has, as far as the cases use them.
func option(setting []string) []kgo.Opt {
	ms := func() time.Duration {
		number, _ := strconv.Atoi(setting[1])
		return time.Duration(number) * time.Millisecond
	}
	switch setting[0] {
	case "session.timeout.ms":
		return []kgo.Opt{kgo.SessionTimeout(ms())}
	case "heartbeat.interval.ms":
		return []kgo.Opt{kgo.HeartbeatInterval(ms())}
	case "max.poll.interval.ms":
		return []kgo.Opt{kgo.RebalanceTimeout(ms())}
	case "group.instance.id":
		return []kgo.Opt{kgo.InstanceID(setting[1])}
	case "group.protocol":
		if setting[1] == "consumer" {
			return []kgo.Opt{kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer()}
		}
		return nil
	case "partition.assignment.strategy":
		balancers := map[string]kgo.GroupBalancer{
			"range":              kgo.RangeBalancer(),
			"roundrobin":         kgo.RoundRobinBalancer(),
			"cooperative-sticky": kgo.CooperativeStickyBalancer(),
		}
		return []kgo.Opt{kgo.Balancers(balancers[setting[1]])}
	}
	say("error there is no setting %s", setting[0])
	return nil
}

// What users of Sarama write: sarama BOOTSTRAP COUNT. Prints PASS or FAIL for each thing.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

const partitions = 3

var (
	brokers []string
	count   int
)

func main() {
	brokers = []string{os.Args[1]}
	count, _ = strconv.Atoi(os.Args[2])
	checks := []struct {
		what string
		run  func() (string, error)
	}{
		{"sync producer: WaitForAll, NewRandomPartitioner, Return.Successes", syncProducer},
		{"sync producer at the library's default version", defaultVersion},
		{"async producer, idempotent", idempotent},
		{"codec gzip", codec(sarama.CompressionGZIP)},
		{"codec snappy", codec(sarama.CompressionSnappy)},
		{"codec lz4", codec(sarama.CompressionLZ4)},
		{"codec zstd", codec(sarama.CompressionZSTD)},
		{"consumer group with commits", group},
		{"cluster admin", admin},
	}
	failed := false
	for _, check := range checks {
		if detail, err := check.run(); err != nil {
			failed = true
			fmt.Printf("FAIL %s: %v\n", check.what, err)
		} else {
			fmt.Printf("PASS %s: %s\n", check.what, detail)
		}
	}
	if failed {
		os.Exit(1)
	}
}

// users is the configuration that stands in most programs.
func users() *sarama.Config {
	config := sarama.NewConfig()
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewRandomPartitioner
	config.Producer.Return.Successes = true
	return config
}

func value(number int) string { return fmt.Sprintf("record number %d", number) }

func produce(topic string, config *sarama.Config) error {
	producer, err := sarama.NewSyncProducer(brokers, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	seen := map[string]bool{}
	for number := 0; number < count; number++ {
		message := &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value(number))}
		partition, offset, err := producer.SendMessage(message)
		if err != nil {
			return fmt.Errorf("record %d: %w", number, err)
		}
		place := fmt.Sprintf("%d-%d", partition, offset)
		if seen[place] {
			return fmt.Errorf("two records acknowledged at %s", place)
		}
		seen[place] = true
	}
	return nil
}

// consume reads every partition from its oldest offset until all the records are there, each once.
func consume(topic string, config *sarama.Config) (string, error) {
	consumer, err := sarama.NewConsumer(brokers, config)
	if err != nil {
		return "", err
	}
	defer consumer.Close()
	ids, err := consumer.Partitions(topic)
	if err != nil {
		return "", err
	}
	if len(ids) != partitions {
		return "", fmt.Errorf("partitions %v", ids)
	}
	messages := make(chan *sarama.ConsumerMessage)
	for _, id := range ids {
		partition, err := consumer.ConsumePartition(topic, id, sarama.OffsetOldest)
		if err != nil {
			return "", err
		}
		defer partition.AsyncClose()
		go func() {
			for message := range partition.Messages() {
				messages <- message
			}
		}()
	}
	seen := map[string]int{}
	limit := time.After(60 * time.Second)
	for got := 0; got < count; got++ {
		select {
		case message := <-messages:
			seen[string(message.Value)]++
		case <-limit:
			return "", fmt.Errorf("%d records instead of %d", got, count)
		}
	}
	for number := 0; number < count; number++ {
		if seen[value(number)] != 1 {
			return "", fmt.Errorf("record %d came %d times", number, seen[value(number)])
		}
	}
	return fmt.Sprintf("%d records", count), nil
}

func round(topic string, config *sarama.Config) (string, error) {
	if err := produce(topic, config); err != nil {
		return "", err
	}
	return consume(topic, config)
}

func syncProducer() (string, error) {
	config := users()
	config.Version = sarama.MaxVersion
	return round("sync", config)
}

func defaultVersion() (string, error) { return round("default-version", users()) }

func codec(codec sarama.CompressionCodec) func() (string, error) {
	return func() (string, error) {
		config := users()
		config.Version = sarama.MaxVersion
		config.Producer.Compression = codec
		return round("codec-"+codec.String(), config)
	}
}

func idempotent() (string, error) {
	config := users()
	config.Version = sarama.MaxVersion
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	producer, err := sarama.NewAsyncProducer(brokers, config)
	if err != nil {
		return "", err
	}
	go func() {
		for number := 0; number < count; number++ {
			producer.Input() <- &sarama.ProducerMessage{Topic: "idempotent", Value: sarama.StringEncoder(value(number))}
		}
		producer.AsyncClose()
	}()
	var failures []error
	done := 0
	var readers sync.WaitGroup
	readers.Add(1)
	go func() {
		defer readers.Done()
		for failure := range producer.Errors() {
			failures = append(failures, failure)
		}
	}()
	for range producer.Successes() {
		done++
	}
	readers.Wait()
	if len(failures) > 0 || done != count {
		return "", fmt.Errorf("%d of %d acknowledged: %w", done, count, errors.Join(failures...))
	}
	return consume("idempotent", config)
}

// reader is one member of a group: it marks what it reads and ends after its share.
type reader struct {
	want int
	got  []string
	stop context.CancelFunc
	lock sync.Mutex
}

func (*reader) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*reader) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (reader *reader) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			reader.lock.Lock()
			if len(reader.got) < reader.want {
				reader.got = append(reader.got, string(message.Value))
				session.MarkMessage(message, "")
			}
			full := len(reader.got) == reader.want
			reader.lock.Unlock()
			if full {
				reader.stop()
				return nil
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func turn(want int, config *sarama.Config) ([]string, error) {
	member, err := sarama.NewConsumerGroup(brokers, "sarama-group", config)
	if err != nil {
		return nil, err
	}
	defer member.Close()
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
	defer stop()
	reader := &reader{want: want, stop: stop}
	for ctx.Err() == nil {
		if err := member.Consume(ctx, []string{"sync"}, reader); err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
	return reader.got, nil
}

func group() (string, error) {
	config := users()
	config.Version = sarama.MaxVersion
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	first, err := turn(count/2, config)
	if err != nil {
		return "", err
	}
	second, err := turn(count-count/2, config)
	if err != nil {
		return "", err
	}
	all := append(first, second...)
	sort.Strings(all)
	for at := 1; at < len(all); at++ {
		if all[at] == all[at-1] {
			return "", fmt.Errorf("%q came twice", all[at])
		}
	}
	if len(all) != count {
		return "", fmt.Errorf("%d records in two turns instead of %d", len(all), count)
	}
	return fmt.Sprintf("%d records in two turns", count), nil
}

func admin() (string, error) {
	config := users()
	config.Version = sarama.MaxVersion
	admin, err := sarama.NewClusterAdmin(brokers, config)
	if err != nil {
		return "", err
	}
	defer admin.Close()
	if err := admin.CreateTopic("made", &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false); err != nil {
		return "", err
	}
	if err := admin.CreateTopic("made", &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false); !errors.Is(err, sarama.ErrTopicAlreadyExists) {
		return "", fmt.Errorf("created twice: %v", err)
	}
	if err := admin.CreatePartitions("made", 4, nil, false); err != nil {
		return "", err
	}
	topics, err := admin.ListTopics()
	if err != nil {
		return "", err
	}
	if topics["made"].NumPartitions != 4 {
		return "", fmt.Errorf("%+v", topics["made"])
	}
	groups, err := admin.ListConsumerGroups()
	if err != nil {
		return "", err
	}
	if _, ok := groups["sarama-group"]; !ok {
		return "", fmt.Errorf("groups %v", groups)
	}
	if err := admin.DeleteTopic("made"); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d topics", len(topics)), nil
}

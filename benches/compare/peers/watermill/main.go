// The order job on Watermill (https://watermill.io): its router, its JetStream subscriber and publisher, its deduplicator
// over Redis. It gets its job from the environment, as every side of the comparison does, and runs until SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmjetstream "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/jetstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
)

const retain = 7 * 24 * time.Hour

type order struct {
	ID   string `json:"id"`
	Time string `json:"time"`
	Data struct {
		OrderID     string `json:"order_id"`
		Seq         int64  `json:"seq"`
		AmountCents int64  `json:"amount_cents"`
		Currency    string `json:"currency"`
		CustomerID  string `json:"customer_id"`
	} `json:"data"`
}

type state struct {
	Count      int64  `json:"count"`
	TotalCents int64  `json:"total_cents"`
	LastSeq    int64  `json:"last_seq"`
	Status     string `json:"status"`
	Currency   string `json:"currency"`
	CustomerID string `json:"customer_id"`
}

type total struct {
	ID      string    `json:"id"`
	Type    string    `json:"type"`
	Version int       `json:"version"`
	Source  string    `json:"source"`
	Time    string    `json:"time"`
	Data    totalData `json:"data"`
}

type totalData struct {
	OrderID    string `json:"order_id"`
	Count      int64  `json:"count"`
	TotalCents int64  `json:"total_cents"`
}

// processed tells the deduplicator what was seen. It is asked before an event is handled, and remembers it there and then.
type processed struct{ redis *redis.Client }

func (p processed) IsDuplicate(ctx context.Context, id string) (bool, error) {
	fresh, err := p.redis.SetNX(ctx, "processed:"+id, 1, retain).Result()
	return !fresh, err
}

type handler struct {
	redis      *redis.Client
	keepsState bool
}

func (h handler) handle(msg *message.Message) ([]*message.Message, error) {
	var event order
	if err := json.Unmarshal(msg.Payload, &event); err != nil {
		return nil, err
	}
	now := state{Count: 1, TotalCents: event.Data.AmountCents}
	if h.keepsState {
		var err error
		if now, err = h.fold(msg.Context(), event); err != nil {
			return nil, err
		}
	}
	payload, err := json.Marshal(total{
		ID: event.ID, Type: "OrderTotal", Version: 1, Source: "bench", Time: event.Time,
		Data: totalData{OrderID: event.Data.OrderID, Count: now.Count, TotalCents: now.TotalCents},
	})
	if err != nil {
		return nil, err
	}
	emission := message.NewMessage(event.ID, payload)
	emission.Metadata.Set(nats.MsgIdHdr, event.ID)
	// By which a latency is measured.
	emission.Metadata.Set("sluice-cause-id", event.ID)
	return message.Messages{emission}, nil
}

func (h handler) fold(ctx context.Context, event order) (state, error) {
	var now state
	name := "order:" + event.Data.OrderID
	stored, err := h.redis.Get(ctx, name).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
	case err != nil:
		return now, err
	default:
		if err := json.Unmarshal(stored, &now); err != nil {
			return now, err
		}
	}
	now.Count++
	now.TotalCents += event.Data.AmountCents
	now.LastSeq = event.Data.Seq
	now.Status = "open"
	now.Currency = event.Data.Currency
	now.CustomerID = event.Data.CustomerID
	changed, err := json.Marshal(now)
	if err != nil {
		return now, err
	}
	return now, h.redis.Set(ctx, name, changed, 0).Err()
}

// eventID is what the deduplicator goes by.
func eventID(msg *message.Message) (string, error) {
	var event struct {
		ID string `json:"id"`
	}
	err := json.Unmarshal(msg.Payload, &event)
	return event.ID, err
}

// unmarshaler takes any message of the stream, not only those that Watermill published.
type unmarshaler struct{}

func (unmarshaler) Unmarshal(msg jetstream.Msg) (*message.Message, error) {
	return message.NewMessage(watermill.NewULID(), msg.Data()), nil
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx := context.Background()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	concurrency, err := strconv.Atoi(os.Getenv("BENCH_CONCURRENCY"))
	if err != nil {
		return fmt.Errorf("BENCH_CONCURRENCY: %w", err)
	}
	options, err := redis.ParseURL(os.Getenv("BENCH_REDIS"))
	if err != nil {
		return err
	}
	options.PoolSize = concurrency
	store := redis.NewClient(options)
	conn, err := nats.Connect(os.Getenv("BENCH_NATS"))
	if err != nil {
		return err
	}
	stream, durable := os.Getenv("BENCH_STREAM"), os.Getenv("BENCH_CONSUMER")
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	_, err = js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: durable, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxAckPending: 10_000,
	})
	if err != nil {
		return err
	}

	logger := watermill.NopLogger{}
	subscriber, err := wmjetstream.NewSubscriber(wmjetstream.SubscriberConfig{
		Conn: conn, Logger: logger, AckAsync: true, Unmarshaler: unmarshaler{},
		ResourceInitializer: wmjetstream.ExistingConsumer(func(string, string) jetstream.ConsumerConfig {
			return jetstream.ConsumerConfig{Name: durable}
		}, ""),
		// Each handler pulls for itself.
		ConsumeOptions: []jetstream.PullConsumeOpt{jetstream.PullMaxMessages(32)},
	})
	if err != nil {
		return err
	}
	publisher, err := wmjetstream.NewPublisher(wmjetstream.PublisherConfig{Conn: conn, Logger: logger})
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{}, logger)
	if err != nil {
		return err
	}
	deduplicator := middleware.Deduplicator{KeyFactory: eventID, Repository: processed{store}, Timeout: 10 * time.Second}
	router.AddMiddleware(deduplicator.Middleware)
	work := handler{redis: store, keepsState: os.Getenv("BENCH_JOB") == "order"}
	// A subscription hands out one message at a time and waits until it is acked: so as many of them as are to be in flight.
	for i := range concurrency {
		router.AddHandler(fmt.Sprintf("order-%d", i), stream, subscriber, os.Getenv("BENCH_OUT"), publisher, work.handle)
	}
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-stop:
		// Not closed: its subscribers may panic when they are closed while events come ("send on closed channel").
		return nil
	}
}

// Package integration stands in for etcd's package of the same name: the cluster a test asks for is one that runs already.
package integration

import (
	"os"
	"testing"
	"time"

	"go.etcd.io/etcd/clientv3"
)

// EndpointVariable names the environment variable with the address of the etcd API under test.
const EndpointVariable = "ETCD_TEST_ENDPOINT"

const dialTimeout = 10 * time.Second

// ClusterConfig is what the tests ask for. Whoever starts the server grants it.
type ClusterConfig struct {
	Size                        int
	WatchProgressNotifyInterval time.Duration
}

// ClusterV3 is a client of the server under test.
type ClusterV3 struct {
	client *clientv3.Client
}

// NewClusterV3 connects; the store must be empty.
func NewClusterV3(t testing.TB, _ *ClusterConfig) *ClusterV3 {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{os.Getenv(EndpointVariable)},
		DialTimeout: dialTimeout,
	})
	if err != nil {
		t.Fatalf("Cannot connect to %q: %v", os.Getenv(EndpointVariable), err)
	}
	return &ClusterV3{client: client}
}

// RandClient is the only client.
func (c *ClusterV3) RandClient() *clientv3.Client { return c.client }

// Client is the only client, whichever member is asked for.
func (c *ClusterV3) Client(int) *clientv3.Client { return c.client }

// Terminate disconnects and leaves the server to who started it.
func (c *ClusterV3) Terminate(t testing.TB) {
	if err := c.client.Close(); err != nil {
		t.Error(err)
	}
}

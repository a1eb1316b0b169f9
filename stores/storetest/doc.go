// Package storetest provides the tests that a [stores.Server] must pass. They are
// for whoever writes a store:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Config{
//			New: func(t *testing.T) stores.Server { return mystore.New(...) },
//		})
//	}
//
// Every rule that is written above the interfaces of package stores has its
// tests, named for it. Where the server is a [stores.Toucher], a
// [stores.Batcher] or a [stores.OwnerIndex], that is tested too; assert in your
// own test that it is one, since the suite can't know what you meant to write.
package storetest

// Package storetest proves that a [stores.Store] keeps the contract that is
// written above it. It is for whoever writes a store:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Config{
//			New: func(t *testing.T) stores.Store {
//				return mystore.New(...)
//			},
//		})
//	}
//
// Every test names the rule that it proves. One thing no test can see from
// outside: the second half of rule 7, that a retried save finds its own mark.
// A store whose client retries must prove that itself, by losing a reply.
package storetest

"""Other companies' servers behind one contract. Nothing on the way of a decision waits for one of them."""

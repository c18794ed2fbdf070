"""Tables and figures: read raw records, write files that anyone can make again from them."""

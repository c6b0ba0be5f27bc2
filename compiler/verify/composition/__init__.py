"""What a whole network is held against, but for the theorem of each block.

terms     the model spec as an expression, and whether wires spell it
numbers   whether every number of the weights stands where it belongs
flat      whether the flat circuit is the network
across    whether passes across wires kept what parts of it give
"""

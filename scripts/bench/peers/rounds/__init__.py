"""The parts that the federated peers share: data, model, the local epoch, the output row."""

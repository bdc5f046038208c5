"""What a deployed model sees and says: predictions, one way in for services that run for months.

`batches` alone writes the tables `prediction_batches` and `prediction_schemas`. `given` and `cells` are pure: they bring
what a caller hands over into columns, and columns into bytes.
"""

"""Split the table into rows to learn from and rows to test on, and scale the columns by the former."""

import sys
from pathlib import Path

import numpy
from params import load
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

table, target = Path(sys.argv[1]), Path(sys.argv[2])
params = load("prepare")

rows = numpy.loadtxt(table, delimiter=",", skiprows=1)
x_train, x_test, y_train, y_test = train_test_split(
    rows[:, :-1],
    rows[:, -1].astype(int),
    test_size=params["test_share"],
    random_state=params["seed"],
    stratify=rows[:, -1],
)
scaler = StandardScaler().fit(x_train)
target.mkdir(parents=True)
numpy.save(target / "x_train.npy", scaler.transform(x_train))
numpy.save(target / "x_test.npy", scaler.transform(x_test))
numpy.save(target / "y_train.npy", y_train)
numpy.save(target / "y_test.npy", y_test)
print(f"{len(y_train)} rows to learn from, {len(y_test)} to test on, {x_train.shape[1]} columns")

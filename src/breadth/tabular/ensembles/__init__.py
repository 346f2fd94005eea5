"""Ensembles of any estimators: bagging, AdaBoost, stacking, voting, cascades."""

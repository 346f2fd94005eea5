"""Other engines behind `VectorIndex`: FAISS, Qdrant, Chroma and Milvus, each imported when it is first used."""

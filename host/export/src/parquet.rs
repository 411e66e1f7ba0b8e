//! Parquet: typed columns, in row groups of bounded size.

use super::{
    Column, ExportError, Kind, RowWriter,
    columns::{KEY, cells, double},
};
use arrow_array::{
    ArrayRef, RecordBatch,
    builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder},
};
use arrow_schema::{DataType, Field, Schema};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};
use serde_json::Value;
use std::{io, io::Write, sync::Arc};
use unspool_vocabulary::limits;

pub(super) struct Parquet<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: Arc<Schema>,
    columns: Vec<Column>,
    keys: StringBuilder,
    values: Vec<Values>,
    /// Rows that are not yet with the writer, and about how many bytes they have.
    rows: usize,
    bytes: usize,
}

/// The values of one column that are not yet with the writer.
enum Values {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Double(Float64Builder),
    Text(StringBuilder),
    Json(StringBuilder),
}

impl<W: Write + Send> Parquet<W> {
    pub(super) fn new(columns: Vec<Column>, out: W) -> Result<Parquet<W>, ExportError> {
        let mut fields = vec![Field::new(KEY, DataType::Utf8, false)];
        fields.extend(columns.iter().map(|column| Field::new(&column.name, data_type(column.kind), true)));
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(limits::EXPORT_GROUP_ROWS))
            .set_max_row_group_bytes(Some(limits::EXPORT_GROUP_BYTES))
            .build();
        let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties)).map_err(unwritable)?;
        let values = columns.iter().map(|column| Values::new(column.kind)).collect();
        Ok(Parquet { writer, schema, columns, keys: StringBuilder::new(), values, rows: 0, bytes: 0 })
    }

    /// Gives the rows to the writer.
    fn write(&mut self) -> Result<(), ExportError> {
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(self.keys.finish())];
        arrays.extend(self.values.iter_mut().map(Values::finish));
        let batch = RecordBatch::try_new(self.schema.clone(), arrays).map_err(io::Error::other)?;
        (self.rows, self.bytes) = (0, 0);
        self.writer.write(&batch).map_err(unwritable)
    }
}

impl<W: Write + Send> RowWriter for Parquet<W> {
    fn row(&mut self, key: &str, document: &Value) -> Result<(), ExportError> {
        let cells = cells(&self.columns, key, document)?;
        self.keys.append_value(key);
        self.rows += 1;
        self.bytes += key.len();
        for ((values, column), cell) in self.values.iter_mut().zip(&self.columns).zip(cells) {
            let Some(bytes) = values.append(cell) else {
                let what = format!("value in {}", column.name);
                return Err(ExportError::NotSurveyed { key: key.to_owned(), what });
            };
            self.bytes += bytes;
        }
        if self.bytes >= limits::EXPORT_BATCH_BYTES { self.write() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        if self.rows > 0 {
            self.write()?;
        }
        let mut out = self.writer.into_inner().map_err(unwritable)?;
        Ok(out.flush()?)
    }
}

impl Values {
    fn new(kind: Kind) -> Values {
        match kind {
            Kind::Boolean => Values::Boolean(BooleanBuilder::new()),
            Kind::Int64 => Values::Int64(Int64Builder::new()),
            Kind::Double => Values::Double(Float64Builder::new()),
            Kind::Text => Values::Text(StringBuilder::new()),
            Kind::Json => Values::Json(StringBuilder::new()),
        }
    }

    /// Appends a value, and says about how many bytes it takes; `None` where it is not of this kind.
    fn append(&mut self, cell: Option<&Value>) -> Option<usize> {
        /// What a number, a null or the end of a text takes, with its share of the validity bits.
        const BYTES: usize = 9;
        match (self, cell) {
            (Values::Boolean(values), cell) => values.append_option(some(cell, Value::as_bool)?),
            (Values::Int64(values), cell) => values.append_option(some(cell, Value::as_i64)?),
            (Values::Double(values), cell) => {
                values.append_option(some(cell, |value| value.as_number().and_then(double))?);
            }
            (Values::Text(values), cell) => {
                let text = some(cell, Value::as_str)?;
                values.append_option(text);
                return Some(BYTES + text.map_or(0, str::len));
            }
            (Values::Json(values), cell) => {
                let text = cell.map(Value::to_string);
                values.append_option(text.as_deref());
                return Some(BYTES + text.map_or(0, |text| text.len()));
            }
        }
        Some(BYTES)
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Values::Boolean(values) => Arc::new(values.finish()),
            Values::Int64(values) => Arc::new(values.finish()),
            Values::Double(values) => Arc::new(values.finish()),
            Values::Text(values) | Values::Json(values) => Arc::new(values.finish()),
        }
    }
}

/// No value stays none; one that is not what `read` takes is `None` as a whole.
fn some<'a, T>(cell: Option<&'a Value>, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<Option<T>> {
    cell.map_or(Some(None), |value| read(value).map(Some))
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Boolean => DataType::Boolean,
        Kind::Int64 => DataType::Int64,
        Kind::Double => DataType::Float64,
        Kind::Text | Kind::Json => DataType::Utf8,
    }
}

fn unwritable(error: ParquetError) -> ExportError {
    ExportError::Write(match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(source) => *source,
            Err(source) => io::Error::other(source),
        },
        other => io::Error::other(other),
    })
}
